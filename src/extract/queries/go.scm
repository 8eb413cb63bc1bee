(comment) @comment

(type_spec name: (_) @name) @class
(type_alias name: (_) @name) @class

(function_declaration name: (_) @name parameters: (_) @parameters) @function
(method_declaration
  receiver: (parameter_list) @receiver
  name: (_) @name
  parameters: (_) @parameters) @function

; Methods that an interface demands.
(method_elem name: (_) @name parameters: (_) @parameters) @function

(var_spec
  name: (identifier) @name
  value: (expression_list . (func_literal parameters: (_) @parameters))) @function
