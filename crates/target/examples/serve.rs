//! Serves files: `serve ADDRESS TARGET-NAME FILE...`; a file that is not there is created with 1 GiB. Prints the
//! address and serves until its standard input ends.

use longshore_target::{LunConfig, Server, TargetConfig};
use std::io::Read;
use std::time::{Duration, Instant};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(address), Some(name)) = (arguments.next(), arguments.next()) else {
        return Err("usage: serve ADDRESS TARGET-NAME FILE...".into());
    };
    let mut target = TargetConfig::new(name);
    for (number, path) in (0..).zip(arguments) {
        target.luns.push(LunConfig {
            size_bytes: Some(1 << 30),
            ..LunConfig::new(number, path)
        });
    }
    let server = Server::builder()
        .listen(address.parse()?)
        .target(target)
        .start()?;
    println!("{}", server.local_addr());
    std::io::stdin().read_to_end(&mut Vec::new())?;
    server.stop(Instant::now() + Duration::from_secs(5))?;
    Ok(())
}
