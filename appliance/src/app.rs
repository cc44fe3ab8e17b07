//! Puts the parts together, and takes them apart in order.

use std::path::PathBuf;

use crate::config::Config;

/// Why the daemon stopped other than by request.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The parts are not put together yet.
    #[error("this build cannot serve yet")]
    Unbuilt,
}

/// Runs the daemon until it is told to stop.
///
/// # Errors
/// Where a part cannot start or fails for good.
pub async fn serve(_config: Config, _config_path: PathBuf) -> Result<(), AppError> {
    Err(AppError::Unbuilt)
}
