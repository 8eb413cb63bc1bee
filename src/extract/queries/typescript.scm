(comment) @comment
(decorator) @attribute

(class_declaration name: (_) @name) @class
(abstract_class_declaration name: (_) @name) @class
(class name: (_) @name) @class
(variable_declarator name: (identifier) @name value: (class !name)) @class
(interface_declaration name: (_) @name) @class
(enum_declaration name: (_) @name) @class
(type_alias_declaration name: (_) @name) @class

(function_declaration name: (_) @name parameters: (_) @parameters) @function
(generator_function_declaration name: (_) @name parameters: (_) @parameters) @function
(function_signature name: (_) @name parameters: (_) @parameters) @function
(function_expression name: (_) @name parameters: (_) @parameters) @function
(generator_function name: (_) @name parameters: (_) @parameters) @function
(method_definition name: (_) @name parameters: (_) @parameters) @function
(method_signature name: (_) @name parameters: (_) @parameters) @function
(abstract_method_signature name: (_) @name parameters: (_) @parameters) @function

; A function value takes the name of what it is given to.
(variable_declarator
  name: (identifier) @name
  value: [
    (function_expression parameters: (_) @parameters)
    (generator_function parameters: (_) @parameters)
    (arrow_function parameters: (_) @parameters)
    (arrow_function parameter: (_) @parameters)
  ]) @function
(assignment_expression
  left: [(identifier) @name (member_expression property: (_) @name)]
  right: [
    (function_expression parameters: (_) @parameters)
    (generator_function parameters: (_) @parameters)
    (arrow_function parameters: (_) @parameters)
    (arrow_function parameter: (_) @parameters)
  ]) @function
(pair
  key: [(property_identifier) (string) (number)] @name
  value: [
    (function_expression parameters: (_) @parameters)
    (generator_function parameters: (_) @parameters)
    (arrow_function parameters: (_) @parameters)
    (arrow_function parameter: (_) @parameters)
  ]) @function
(public_field_definition
  name: (_) @name
  value: [
    (function_expression parameters: (_) @parameters)
    (arrow_function parameters: (_) @parameters)
    (arrow_function parameter: (_) @parameters)
  ]) @function
