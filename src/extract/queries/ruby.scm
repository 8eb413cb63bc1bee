(comment) @comment

(class name: [(constant) @name (scope_resolution name: (_) @name)]) @class
(module name: [(constant) @name (scope_resolution name: (_) @name)]) @class

(method name: (_) @name parameters: (_) @parameters) @function
(method name: (_) @name !parameters) @function
(singleton_method name: (_) @name parameters: (_) @parameters) @function
(singleton_method name: (_) @name !parameters) @function
