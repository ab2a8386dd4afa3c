//! The legend at the right of a panel with a line per allocator.

use plotters::prelude::*;

use super::{Area, Painted, colour};
use crate::allocator::Allocator;

/// Its width in pixels.
pub(super) const WIDTH: i32 = 80;

/// Line number `at` of the legend, counted from 0.
pub(super) fn entry(area: &Area<'_>, at: usize, allocator: Allocator) -> Painted {
    let (x, y) = (area.dim_in_pixel().0 as i32 - WIDTH + 8, 40 + 16 * at as i32);
    area.draw(&Rectangle::new([(x, y), (x + 10, y + 8)], colour(allocator).filled()))?;
    area.draw(&Text::new(allocator.name(), (x + 15, y), ("sans-serif", 11)))?;
    Ok(())
}
