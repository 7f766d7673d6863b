//! Protomux: many protocol channels over one message stream (sans-IO).
