"""Work in processes of their own: what may die, or take too much time or memory, does not take its caller along."""
