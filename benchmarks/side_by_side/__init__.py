"""CPU time of a call, beside a do-nothing app and a small proxy: python -m benchmarks.side_by_side"""
