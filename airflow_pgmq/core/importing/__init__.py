"""What other schedulers have → periodic jobs: one module for each of them."""
