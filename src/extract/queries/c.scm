(comment) @comment

(struct_specifier name: (_) @name body: (_)) @class
(union_specifier name: (_) @name body: (_)) @class
(enum_specifier name: (_) @name body: (_)) @class

; `typedef struct { … } Name;` gives the body its name.
(type_definition
  type: [
    (struct_specifier body: (_))
    (union_specifier body: (_))
    (enum_specifier body: (_))
  ]
  declarator: (type_identifier) @name) @class

(function_definition declarator: (_) @declarator) @function
