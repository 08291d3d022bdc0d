"""Messages generated from specs/proto by `python -m reference_node.proto.generate`; nothing here is edited by hand."""
