"""What speaks to other machines: each connector takes values, sends them, and says what came of it."""
