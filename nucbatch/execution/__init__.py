"""A run: one task per field, receipts in a ledger, and what is made of them in the end."""
