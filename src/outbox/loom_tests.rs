//! Models of the outbox.
