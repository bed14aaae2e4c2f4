"""Networks at work: feeding them, training them, and their predictions, alone and fused."""
