"""The reading side: what a run or many runs looked like."""
