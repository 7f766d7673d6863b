//! Runs a local DHT and prints its bootstrap address: `local_dht [HOST [PORT]]`.

use std::error::Error;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let host = args.next().as_deref().unwrap_or("127.0.0.1").parse()?;
    let port = args.next().as_deref().unwrap_or("0").parse()?;
    let network = dht::local::start(host, port).await?;
    println!("{}", network.bootstrap());
    tokio::signal::ctrl_c().await?;
    Ok(())
}
