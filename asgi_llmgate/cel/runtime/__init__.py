"""What compiled expressions consist of: values, operators, functions, macros."""
