//! The program: [`fanfare::cli`] with an allocator.
//!
//! A publication is allocated by the thread that reads it and freed by whichever lane drops the
//! last reference, so most frees are of another thread's memory. mimalloc takes such a free with
//! one atomic push onto the page's own list, where glibc locks the arena that the block is from.
//!
//! Version 2 of it: version 3 takes the slow way for everything whose size is no power of two once the size's
//! page is used up, six times for each connection, and a larger block for it. An idle connection took
//! 1.17 KiB with it, and takes 1.03.
//!
//! Without transparent huge pages (Linux): where the system would give them to everybody the heap grew
//! by 2 MiB at a time, which is a page for 1,700 idle connections: measured at 2,000 of them an idle
//! connection took 3.1 KiB with huge pages and 1.3 KiB without, and a delivery cost the same.
//!
//! It is the program's choice and not the library's: who embeds a hub keeps their own.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    fanfare::cli::main()
}
