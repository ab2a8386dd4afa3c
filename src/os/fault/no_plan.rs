//! The plan of production: nothing ever fails by request.

use super::Call;
use crate::os::errno::Result;

/// Lets every call pass.
#[inline]
pub(super) fn step(_: Call) -> Result<()> {
    Ok(())
}
