(comment) @comment

(class_declaration name: (_) @name) @class
(struct_declaration name: (_) @name) @class
(interface_declaration name: (_) @name) @class
(enum_declaration name: (_) @name) @class
(record_declaration name: (_) @name) @class

(method_declaration name: (_) @name parameters: (_) @parameters) @function
(constructor_declaration name: (_) @name parameters: (_) @parameters) @function
(destructor_declaration name: (_) @name parameters: (_) @parameters) @function
(local_function_statement name: (_) @name parameters: (_) @parameters) @function
