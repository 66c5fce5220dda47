"""Statistics of the published figures: counts in, floating-point figures out.

Everything here is given counts that the reader may see, never counts behind them: a limit or a
centre line that contained a hidden cell could be solved for it. Nothing here reads a file.
"""
