"""The reference node: every protocol of the standard, with the algorithms behind them."""
