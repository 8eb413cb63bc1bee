(comment) @comment
(template_parameter_list) @attribute

(class_specifier name: (_) @name body: (_)) @class
(struct_specifier name: (_) @name body: (_)) @class
(union_specifier name: (_) @name body: (_)) @class
(enum_specifier name: (_) @name body: (_)) @class
(type_definition
  type: [
    (struct_specifier body: (_))
    (union_specifier body: (_))
    (enum_specifier body: (_))
  ]
  declarator: (type_identifier) @name) @class

(function_definition declarator: (_) @declarator) @function

; Methods that a class declares and defines elsewhere.
(field_declaration_list (field_declaration declarator: (_) @declarator) @function)
(field_declaration_list (declaration declarator: (function_declarator) @declarator) @function)
