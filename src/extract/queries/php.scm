(comment) @comment
(attribute_list) @attribute

(class_declaration name: (_) @name) @class
(interface_declaration name: (_) @name) @class
(trait_declaration name: (_) @name) @class
(enum_declaration name: (_) @name) @class

(function_definition name: (_) @name parameters: (_) @parameters) @function
(method_declaration name: (_) @name parameters: (_) @parameters) @function
