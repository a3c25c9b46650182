"""What compiled expressions are made of: values, operators, functions, macros."""
