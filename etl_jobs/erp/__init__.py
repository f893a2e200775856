"""Three loads of an ERP over JSON-RPC, each a script of its own; examples/erp runs them side by side."""
