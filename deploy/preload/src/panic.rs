//! What a panic comes to, where the standard library is not there: one line, and the end. Nothing on these paths
//! panics; this is for what was overlooked.

use core::panic::PanicInfo;
use core_api::os::fatal::{Line, die};

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let mut line = Line::new();
    line.push_str("panic");
    if let Some(place) = info.location() {
        line.push_str(" at ").push_str(place.file()).push_str(":").push_dec(u64::from(place.line()));
    }
    die(&line)
}
