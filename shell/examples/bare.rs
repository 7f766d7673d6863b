//! The smallest window that wry can open, to measure the host against: it prints when its first page script ran, in
//! milliseconds since 1970, and the resident memory of this process a second later.

use std::time::{Duration, Instant};

use tao::event::{Event, StartCause, WindowEvent};
use tao::event_loop::{ControlFlow, EventLoopBuilder};
use tao::window::WindowBuilder;
use wry::WebViewBuilder;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    bosc_shell::platform::prepare();
    let event_loop = EventLoopBuilder::<()>::with_user_event().build();
    let window = WindowBuilder::new().with_title("bare").build(&event_loop)?;
    let proxy = event_loop.create_proxy();
    let builder = WebViewBuilder::new()
        .with_initialization_script(
            "window.ipc.postMessage(String(performance.timeOrigin + performance.now()))",
        )
        .with_ipc_handler(move |request| {
            println!("first-script-epoch-ms {}", request.body());
            let _ = proxy.send_event(());
        })
        .with_html("<!doctype html><title>bare</title><h1>bare</h1>");
    #[cfg(target_os = "linux")]
    let _webview = {
        use tao::platform::unix::WindowExtUnix;
        use wry::WebViewBuilderExtUnix;
        builder.build_gtk(window.default_vbox().ok_or("no content area")?)?
    };
    #[cfg(not(target_os = "linux"))]
    let _webview = builder.build(&window)?;
    event_loop.run(move |event, _, flow| match event {
        Event::UserEvent(()) => *flow = ControlFlow::WaitUntil(Instant::now() + Duration::from_secs(1)),
        Event::NewEvents(StartCause::ResumeTimeReached { .. }) => {
            let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
            println!(
                "{}",
                status
                    .lines()
                    .find(|line| line.starts_with("VmRSS"))
                    .unwrap_or("VmRSS unknown")
            );
            *flow = ControlFlow::Exit;
        }
        Event::WindowEvent {
            event: WindowEvent::CloseRequested,
            ..
        } => *flow = ControlFlow::Exit,
        _ => {}
    });
}
