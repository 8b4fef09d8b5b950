//! The house rules that a compiler does not know, held against the sources as text: who may use
//! whom, how long things get, what a part must not name, and what lock-free code has to say.
//!
//! Each rule is a test that tells the file, the line and what to do. Beside each are tests of the
//! rule itself, on small inputs that break it.

#[path = "architecture/bounds.rs"]
mod bounds;
#[path = "architecture/floors.rs"]
mod floors;
#[path = "architecture/lexer.rs"]
mod lexer;
#[path = "architecture/purity.rs"]
mod purity;
#[path = "architecture/shape.rs"]
mod shape;
#[path = "architecture/source.rs"]
mod source;
#[path = "architecture/words.rs"]
mod words;
