//! A plain project whose tests leave memory behind: some of it forgotten, beside the same work released
//! (`box_of_64_bytes` and `box_of_64_bytes_released`), some of it still held by somebody.
//!
//! The line that makes what is forgotten ends with `leaks here` and the name of its test.

#[cfg(test)]
mod forgotten;
#[cfg(test)]
mod kept;
