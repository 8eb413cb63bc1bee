(comment) @comment
(decorator) @attribute

(class_declaration name: (_) @name) @class
(class name: (_) @name) @class
(variable_declarator name: (identifier) @name value: (class !name)) @class
(assignment_expression
  left: [(identifier) @name (member_expression property: (property_identifier) @name)]
  right: (class !name)) @class

(function_declaration name: (_) @name parameters: (_) @parameters) @function
(generator_function_declaration name: (_) @name parameters: (_) @parameters) @function
(function_expression name: (_) @name parameters: (_) @parameters) @function
(generator_function name: (_) @name parameters: (_) @parameters) @function
(method_definition name: (_) @name parameters: (_) @parameters) @function

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
(field_definition
  property: (_) @name
  value: [
    (function_expression parameters: (_) @parameters)
    (arrow_function parameters: (_) @parameters)
    (arrow_function parameter: (_) @parameters)
  ]) @function

; Before there were classes: `Type.prototype.method = …`, `Type.prototype = …`.
(assignment_expression
  left: (member_expression
    object: (member_expression object: (identifier) @owner property: (property_identifier) @_prototype)
    property: (property_identifier) @name)
  right: [
    (identifier)
    (function_expression parameters: (_) @parameters)
    (generator_function parameters: (_) @parameters)
    (arrow_function parameters: (_) @parameters)
    (arrow_function parameter: (_) @parameters)
  ]
  (#eq? @_prototype "prototype")) @function
(assignment_expression
  left: (member_expression object: (identifier) @owner property: (property_identifier) @_prototype)
  right: (_)
  (#eq? @_prototype "prototype")) @scope
