(comment) @comment
(decorator) @attribute

(class_definition name: (identifier) @name) @class

(function_definition
  name: (identifier) @name
  parameters: (parameters) @parameters) @function

; A lambda with a name is a function with a name.
(assignment
  left: (identifier) @name
  right: (lambda parameters: (lambda_parameters) @parameters)) @function
(assignment left: (identifier) @name right: (lambda !parameters)) @function

; The first statement of a body, if it is a string, is the documentation.
(class_definition
  body: (block . (comment)* . (expression_statement . (string) @doc))) @documented
(function_definition
  body: (block . (comment)* . (expression_statement . (string) @doc))) @documented
