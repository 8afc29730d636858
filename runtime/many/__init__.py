"""Many pairs: found, mapped once each, published whole; on Ray, or as they arrive."""
