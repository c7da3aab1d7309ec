//! The volume model, the engine and its journal
