"""Where the values of credentials come from, how they are kept, and what stands for them inside."""
