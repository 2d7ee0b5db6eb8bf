//! A network of a test's own, to be cut: clients in namespaces of their own, and before them a router, whose packet
//! filter loses what a test wants lost.
//!
//! The namespaces have no names. Each lasts as long as a process whose input is a pipe of the test's, so nothing is left
//! behind, however the test ends.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};

use crate::check::not_run;
use crate::process::Launch;

/// What becomes of the packets between a client and the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// None passes.
    Both,
    /// None of the client's passes.
    FromClient,
    /// None of the server's passes.
    ToClient,
    /// Those of the server's pass that are more than an acknowledgement.
    Acks,
    /// Each is answered with a reset of its connection.
    Reset,
    /// A middlebox has forgotten the connections that there are, and passes only new ones.
    Forgotten,
    /// One in ten is lost.
    Lossy,
    /// 64 kbit/s.
    Slow,
}

/// A router, with a link to this host and one to each client.
#[derive(Debug)]
pub struct Network {
    router: Space,
    /// Its first three bytes.
    subnet: String,
    clients: u8,
}

/// A host on that network, for processes of a test.
#[derive(Debug)]
pub struct Client {
    space: Space,
    router: String,
    address: String,
    number: u8,
}

impl Network {
    /// Makes one. `None`, and said so, where this user may not, or where a program for it is not installed.
    pub fn new() -> Option<Self> {
        let made = Self::make();
        let instead = "connections are cut by a proxy that goes silent only";
        made.map_err(|why| not_run("a network that is cut", &format!("{why}; {instead}"))).ok()
    }

    fn make() -> Result<Self, String> {
        shell("", "nft --version >/dev/null && ip -V >/dev/null")?;
        let router = Space::new()?;
        let subnet = format!("10.{}.{}", fastrand::u8(200..250), fastrand::u8(1..250));
        let link = format!("dlock{:07x}", fastrand::u32(..1 << 28));
        shell(
            "",
            &format!(
                "ip link add {link} type veth peer name host netns {pid}
                 ip addr add {subnet}.1/30 dev {link}
                 ip link set {link} up
                 ip route add {subnet}.0/24 via {subnet}.2",
                pid = router.0.id()
            ),
        )?;
        shell(
            &router.path(),
            &format!(
                "ip addr add {subnet}.2/30 dev host
                 ip link set host up
                 echo 1 >/proc/sys/net/ipv4/ip_forward
                 nft add table ip probe"
            ),
        )?;
        Ok(Network { router, subnet, clients: 0 })
    }

    /// This host's address on it.
    pub fn address(&self) -> String {
        format!("{}.1", self.subnet)
    }

    /// One more client. The router passes what belongs to connections that it has seen begin.
    pub fn client(&mut self) -> Client {
        self.clients += 1;
        let (number, subnet, space) = (self.clients, &self.subnet, Space::new().unwrap());
        let (near, address) =
            (format!("{subnet}.{}", 4 * number + 1), format!("{subnet}.{}", 4 * number + 2));
        let link = format!(
            "ip link add client{number} type veth peer name eth netns {pid}
             ip addr add {near}/30 dev client{number}
             ip link set client{number} up",
            pid = space.0.id()
        );
        let router = self.router.path();
        shell(&router, &link).unwrap();
        let up = format!(
            "ip addr add {address}/30 dev eth
             ip link set lo up
             ip link set eth up
             ip route add default via {near}"
        );
        shell(&space.path(), &up).unwrap();
        let client = Client { space, router, address, number };
        client.filter(
            "known",
            "ip saddr CLIENT tcp flags & (syn | ack) == syn add @flows { ip saddr . tcp sport }
             ip saddr CLIENT ip saddr . tcp sport @flows accept
             ip daddr CLIENT ip daddr . tcp dport @flows accept
             ip saddr CLIENT drop
             ip daddr CLIENT drop",
        );
        client
    }
}

impl Client {
    /// From now on, until it is mended.
    pub fn cut(&self, cut: Cut) {
        let rules = match cut {
            Cut::Both => "ip saddr CLIENT drop\nip daddr CLIENT drop",
            Cut::FromClient => "ip saddr CLIENT drop",
            Cut::ToClient => "ip daddr CLIENT drop",
            // What carries data has PSH, or is longer.
            Cut::Acks => {
                "ip daddr CLIENT tcp flags & (syn | rst | fin | psh) == 0x0 ip length < 100 drop"
            }
            Cut::Reset => {
                "ip saddr CLIENT meta l4proto tcp reject with tcp reset
                 ip daddr CLIENT meta l4proto tcp reject with tcp reset"
            }
            Cut::Lossy => {
                "ip saddr CLIENT numgen random mod 10 < 1 drop
                 ip daddr CLIENT numgen random mod 10 < 1 drop"
            }
            Cut::Forgotten => {
                let number = self.number;
                return shell(&self.router, &format!("nft flush set ip known{number} flows"))
                    .unwrap();
            }
            Cut::Slow => {
                let slow = "root tbf rate 64kbit burst 3k latency 2s";
                let back = format!("tc qdisc add dev client{} {slow}", self.number);
                shell(&self.router, &back).unwrap();
                return shell(&self.space.path(), &format!("tc qdisc add dev eth {slow}")).unwrap();
            }
        };
        self.filter("cut", rules);
    }

    /// Everything passes again, but for what a middlebox has forgotten.
    pub fn mend(&self) {
        let number = self.number;
        let script = format!(
            "nft delete table ip cut{number} 2>/dev/null || true
             tc qdisc del dev client{number} root 2>/dev/null || true"
        );
        shell(&self.router, &script).unwrap();
        shell(&self.space.path(), "tc qdisc del dev eth root 2>/dev/null || true").unwrap();
    }

    /// How to start a process there.
    pub fn launch(&self) -> Launch {
        let space = format!("--net={}", self.space.path());
        Launch::after(["nsenter".to_owned(), space, "--".to_owned()])
    }

    /// Has the router filter what comes from this client, or goes there.
    fn filter(&self, name: &str, rules: &str) {
        let script = format!(
            "nft -f - <<'RULES'
table ip {name}{number} {{
    set flows {{
        type ipv4_addr . inet_service
        flags dynamic
        size 1000
    }}
    chain forward {{
        type filter hook forward priority 0
        {rules}
    }}
}}
RULES",
            number = self.number,
            rules = rules.replace("CLIENT", &self.address)
        );
        shell(&self.router, &script).unwrap();
    }
}

/// A network namespace, as long as its process lives.
#[derive(Debug)]
struct Space(Child);

impl Space {
    fn new() -> Result<Self, String> {
        let mut command = Command::new("unshare");
        command.args(["--net", "--", "sh", "-c", "echo here && exec cat"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("unshare: {error}"))?;
        let mut line = String::new();
        let read = BufReader::new(child.stdout.take().unwrap()).read_line(&mut line);
        let space = Space(child);
        match read {
            Ok(1..) => Ok(space),
            _ => Err("this user may not make network namespaces".to_owned()),
        }
    }

    fn path(&self) -> String {
        format!("/proc/{}/ns/net", self.0.id())
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a script in a namespace; "": in ours.
fn shell(space: &str, script: &str) -> Result<(), String> {
    let mut command = match space {
        "" => Command::new("sh"),
        space => {
            let mut command = Command::new("nsenter");
            command.arg(format!("--net={space}")).args(["--", "sh"]);
            command
        }
    };
    let path = std::env::var("PATH").unwrap_or_default();
    command.arg("-eu").env("PATH", format!("{path}:/usr/sbin:/sbin"));
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("{command:?}: {error}"))?;
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ")),
    }
}
