//! Properties that hold for all bytes and all values: parsing never panics, and what is written is read back.
//!
//! These are the short form of the fuzz targets in `fuzz/`, small enough for every test run.

mod arbitrary;
mod frames;
mod pdus;
mod texts;
