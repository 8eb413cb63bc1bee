[(line_comment) (block_comment)] @comment
(attribute_item) @attribute

(struct_item name: (type_identifier) @name) @class
(enum_item name: (type_identifier) @name) @class
(union_item name: (type_identifier) @name) @class
(trait_item name: (type_identifier) @name) @class

; Methods of `impl Type` and `impl Trait for Type` belong to the class `Type`; those of
; `impl<T> Trait for T` to `Trait`, as `T` is no type.
(impl_item type: (_) @owner) @scope
(impl_item
  type_parameters: (type_parameters
    (type_parameter name: (type_identifier) @_parameter))
  trait: (_) @trait
  type: (type_identifier) @_type
  (#eq? @_parameter @_type)) @scope

(function_item
  name: (_) @name
  parameters: (parameters) @parameters) @function
(function_signature_item
  name: (_) @name
  parameters: (parameters) @parameters) @function
