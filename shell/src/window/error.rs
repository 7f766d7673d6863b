//! A window that only says why the app could not be started, for people who started it from a menu and see no terminal.

use tao::dpi::LogicalSize;
use tao::event::{Event, WindowEvent};
use tao::event_loop::{ControlFlow, EventLoopBuilder};
use tao::platform::run_return::EventLoopExtRunReturn;
use tao::window::WindowBuilder;
use wry::WebViewBuilder;

use super::UserEvent;
use super::system::attach;
use crate::error::ShellError;
use crate::page::error_page;

/// Shows `message` until the window is closed. The page in it has no bridge and runs no script.
pub(crate) fn show(name: &str, message: &str) -> Result<(), ShellError> {
    let failed = |error: &dyn std::fmt::Display| ShellError::Window(error.to_string());
    let mut event_loop = EventLoopBuilder::<UserEvent>::with_user_event().build();
    let window = WindowBuilder::new()
        .with_title(name)
        .with_inner_size(LogicalSize::new(680.0, 480.0))
        .build(&event_loop)
        .map_err(|error| failed(&error))?;
    let page = error_page::render(
        &format!("{name} could not be started"),
        message,
        "This is what went wrong:",
    );
    let builder = WebViewBuilder::new().with_javascript_disabled().with_html(page);
    let webview = attach(builder, &window)?;
    event_loop.run_return(|event, _, flow| {
        *flow = ControlFlow::Wait;
        if let Event::WindowEvent {
            event: WindowEvent::CloseRequested | WindowEvent::Destroyed,
            ..
        } = event
        {
            *flow = ControlFlow::Exit;
        }
    });
    drop(webview);
    Ok(())
}
