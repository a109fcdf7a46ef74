//! Docker's calls as dockerd 20.10 makes them, answered from attachments that are only written down.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use podlane_api::Refusal;
use serde_json::{Value, json};

use super::driver::Driver;
use super::server::{Plugin, Source};
use crate::attach::on_paper::OnPaper;
use crate::attach::{Addressing, Attaches};

const ID: &str = "5c0ffee5c0ffee5c0ffee5c0ffee5c0ffee5c0ffee5c0ffee5c0ffee5c0ffee5";

struct Docker {
    paper: Arc<OnPaper>,
    driver: Driver,
}

impl Docker {
    fn new() -> Self {
        let paper = Arc::new(OnPaper::with("blue", &["10.1.0.1/24", "fd00:1::1/64"]));
        Self { driver: Driver::default(), paper }
    }

    #[expect(clippy::needless_pass_by_value, reason = "json! makes a value to give away")]
    fn call(&self, method: &str, body: Value) -> Value {
        self.driver
            .call(self.paper.as_ref(), method, body.to_string().as_bytes())
            .unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    #[expect(clippy::needless_pass_by_value, reason = "json! makes a value to give away")]
    fn refused(&self, method: &str, body: Value) -> String {
        self.driver.call(self.paper.as_ref(), method, body.to_string().as_bytes()).unwrap_err().to_string()
    }

    /// `docker network create -d podlane --ipam-driver podlane --subnet 10.77.0.0/24`
    fn create_network(&self) -> Value {
        let pool = self
            .call("IpamDriver.RequestPool", json!({"AddressSpace": "podlane", "Pool": "10.77.0.0/24", "V6": false}));
        let asked = json!({"PoolID": pool["PoolID"], "Address": "", "Options": {"RequestAddressType": "com.docker.network.gateway"}});
        let gateway = self.call("IpamDriver.RequestAddress", asked);
        let subnet = json!({"AddressSpace": "podlane", "Pool": pool["Pool"], "Gateway": gateway["Address"]});
        self.call("NetworkDriver.CreateNetwork", json!({"NetworkID": ID, "Options": {"com.docker.network.generic": {}}, "IPv4Data": [subnet], "IPv6Data": null}));
        pool["PoolID"].clone()
    }

    /// What `docker run` asks before the container starts; Docker's answer to where its interface is.
    fn run(&self, pool: &Value, endpoint: &str) -> (Value, Value) {
        let address = self.call("IpamDriver.RequestAddress", json!({"PoolID": pool, "Address": "", "Options": null}));
        let interface = json!({"Address": address["Address"], "AddressIPv6": "", "MacAddress": ""});
        let made = self.call(
            "NetworkDriver.CreateEndpoint",
            json!({"NetworkID": ID, "EndpointID": endpoint, "Interface": interface, "Options": {}}),
        );
        assert!(made["Interface"]["MacAddress"].is_string(), "{made}");
        let joined = self.call(
            "NetworkDriver.Join",
            json!({"NetworkID": ID, "EndpointID": endpoint, "SandboxKey": "/var/run/docker/netns/1", "Options": {}}),
        );
        (address["Address"].clone(), joined)
    }
}

#[test]
fn a_network_and_its_containers_come_and_go_and_nothing_is_left() {
    let docker = Docker::new();
    let pool = docker.create_network();
    assert_eq!(pool, "10.77.0.0/24");
    let made = docker.paper.made();
    assert_eq!(
        (made[0].name.as_str(), made[0].gateways[0].to_string().as_str()),
        ("docker-5c0ffee5c0ff", "10.77.0.1/24")
    );
    assert_eq!(made[0].vrf, None);

    let (address, joined) = docker.run(&pool, "e1");
    assert_eq!(address, "10.77.0.2/24");
    assert_eq!(
        joined,
        json!({"InterfaceName": {"SrcName": "pod-e1", "DstPrefix": "eth"}, "Gateway": "10.77.0.1", "DisableGatewayService": true})
    );
    let attached = docker.paper.attached();
    assert_eq!((attached[0].order.network.as_str(), attached[0].order.netns.as_ref()), ("docker-5c0ffee5c0ff", None));
    assert!(
        matches!(&attached[0].order.addressing, Addressing::Given { addresses } if addresses[0].address.to_string() == "10.77.0.2/24")
    );

    let endpoint = json!({"NetworkID": ID, "EndpointID": "e1"});
    let told = docker.call("NetworkDriver.EndpointOperInfo", endpoint.clone());
    assert_eq!(told["Value"]["podlane.port"], "port-e1");
    docker.call("NetworkDriver.Leave", endpoint.clone());
    assert_eq!(docker.paper.attached(), []);
    docker.call("NetworkDriver.DeleteEndpoint", endpoint);
    docker.call("IpamDriver.ReleaseAddress", json!({"PoolID": pool, "Address": "10.77.0.2"}));
    docker.call("NetworkDriver.DeleteNetwork", json!({"NetworkID": ID}));
    docker.call("IpamDriver.ReleaseAddress", json!({"PoolID": pool, "Address": "10.77.0.1"}));
    docker.call("IpamDriver.ReleasePool", json!({"PoolID": pool}));
    assert_eq!((docker.paper.made(), docker.paper.leased()), (vec![], 0));
}

#[test]
fn an_endpoint_that_left_may_join_again_and_is_what_it_was() {
    let docker = Docker::new();
    let pool = docker.create_network();
    let (_, joined) = docker.run(&pool, "e1");
    let endpoint = json!({"NetworkID": ID, "EndpointID": "e1"});
    docker.call("NetworkDriver.Leave", endpoint.clone());
    assert_eq!(docker.call("NetworkDriver.Join", endpoint.clone()), joined);
    docker.call("NetworkDriver.Leave", endpoint.clone());
    docker.call("NetworkDriver.DeleteEndpoint", endpoint.clone());
    assert!(docker.refused("NetworkDriver.Join", endpoint).contains("knows no endpoint e1"));
}

#[test]
fn a_driver_started_anew_goes_on_with_what_is_written_down() {
    let docker = Docker::new();
    let pool = docker.create_network();
    let (_, joined) = docker.run(&pool, "e1");
    let next = Docker { driver: Driver::default(), paper: docker.paper };
    assert_eq!(next.run(&pool, "e2").0, "10.77.0.3/24");
    assert_eq!(next.call("NetworkDriver.Join", json!({"NetworkID": ID, "EndpointID": "e1"})), joined);
}

#[test]
fn a_network_may_stand_for_a_configured_one() {
    let docker = Docker::new();
    let options = json!({"podlane.network": "blue"});
    let mut data = Vec::new();
    for v6 in [false, true] {
        let pool = docker.call("IpamDriver.RequestPool", json!({"Pool": "", "V6": v6, "Options": options}));
        let asked = json!({"PoolID": pool["PoolID"], "Address": "", "Options": {"RequestAddressType": "com.docker.network.gateway"}});
        let gateway = docker.call("IpamDriver.RequestAddress", asked)["Address"].clone();
        data.push(json!({"Pool": pool["Pool"], "Gateway": gateway}));
    }
    assert_eq!((data[0]["Gateway"].as_str(), data[1]["Gateway"].as_str()), (Some("10.1.0.1/24"), Some("fd00:1::1/64")));
    let asked = json!({"NetworkID": ID, "Options": {"com.docker.network.generic": options}, "IPv4Data": [data[0]], "IPv6Data": [data[1]]});
    docker.call("NetworkDriver.CreateNetwork", asked);
    let (address, joined) = docker.run(&json!("10.1.0.0/24 blue"), "e1");
    assert_eq!((address, joined["Gateway"].clone()), (json!("10.1.0.2/24"), json!("10.1.0.1")));
    assert_eq!(docker.paper.attached()[0].order.network, "blue");
}

#[test]
fn a_subnet_is_chosen_where_none_is_asked_for_and_two_never_overlap() {
    let docker = Docker::new();
    let ask = |body: Value| docker.call("IpamDriver.RequestPool", body)["Pool"].as_str().unwrap().to_owned();
    assert_eq!(ask(json!({"Pool": ""})), "10.200.0.0/24");
    assert_eq!(ask(json!({"Pool": ""})), "10.200.1.0/24");
    assert_eq!(ask(json!({"Pool": "", "V6": true})), "fd70:6f64:6c61::/64");
    assert_eq!(
        docker.refused("IpamDriver.RequestPool", json!({"Pool": "10.1.0.0/16"})),
        "10.1.0.0/16 overlaps 10.1.0.0/24, which is network blue's (choose another --subnet, or join it with -o and --ipam-opt podlane.network=blue)"
    );
    docker.call("IpamDriver.ReleasePool", json!({"PoolID": "10.200.0.0/24"}));
    assert_eq!(
        docker.refused("IpamDriver.RequestPool", json!({"Pool": "10.200.0.0/16"})),
        "10.200.0.0/16 overlaps 10.200.1.0/24, which is a network's that Docker is making just now (choose another --subnet)"
    );
    assert_eq!(ask(json!({"Pool": ""})), "10.200.0.0/24");
}

#[test]
fn ranges_and_addresses_of_others_are_kept_to() {
    let docker = Docker::new();
    let pool =
        docker.call("IpamDriver.RequestPool", json!({"Pool": "10.77.0.0/24", "SubPool": "10.77.0.128/25"}))["PoolID"]
            .clone();
    let aux = docker.call("IpamDriver.RequestAddress", json!({"PoolID": pool, "Address": "10.77.0.200"}));
    assert_eq!(aux["Address"], "10.77.0.200/24");
    let subnet =
        json!({"Pool": "10.77.0.0/24", "Gateway": "10.77.0.1/24", "AuxAddresses": {"printer": "10.77.0.200/24"}});
    docker.call(
        "NetworkDriver.CreateNetwork",
        json!({"NetworkID": ID, "Options": {}, "IPv4Data": [subnet], "IPv6Data": []}),
    );
    let made = &docker.paper.made()[0];
    assert_eq!(
        (made.ranges.clone(), made.reserved.clone()),
        (vec!["10.77.0.128/25".to_owned()], vec![[10, 77, 0, 200].into()])
    );
}

#[test]
fn what_cannot_be_done_says_why_and_what_to_do() {
    let docker = Docker::new();
    let create =
        |generic: Value| json!({"NetworkID": ID, "Options": {"com.docker.network.generic": generic}, "IPv4Data": []});
    for (method, body, expected) in [
        ("NetworkDriver.Fly", json!({}), "podlane knows no method NetworkDriver.Fly of Docker's plugins"),
        (
            "NetworkDriver.CreateNetwork",
            create(json!({"podlane.netwrk": "blue"})),
            "podlane knows no network option podlane.netwrk, perhaps podlane.network (it knows podlane.network, podlane.vrf, com.docker.network.driver.mtu)",
        ),
        (
            "NetworkDriver.CreateNetwork",
            create(json!({"vni": "7"})),
            "podlane makes no network for vni: a network between nodes is in the configuration of each of them, with its peers and the pods behind them (write vni under [[network]], and join that network with podlane.network=NAME)",
        ),
        (
            "NetworkDriver.CreateNetwork",
            create(json!({"com.docker.network.driver.mtu": "9"})),
            "com.docker.network.driver.mtu=9: write a number of bytes from 68 to 65535",
        ),
        (
            "NetworkDriver.CreateNetwork",
            create(json!({"podlane.network": "red"})),
            "podlane has no network red (podlane status lists them; or leave out the option to make one)",
        ),
        (
            "NetworkDriver.CreateEndpoint",
            json!({"NetworkID": "abc", "EndpointID": "e"}),
            "podlane has forgotten the Docker network abc (remove it with docker network rm and create it again)",
        ),
        (
            "NetworkDriver.Join",
            json!({"NetworkID": ID, "EndpointID": "e"}),
            "podlane knows no endpoint e (disconnect the container from the network and connect it again)",
        ),
        (
            "IpamDriver.RequestPool",
            json!({"Pool": "10.1.0.0"}),
            "10.1.0.0 is no subnet (write it as in 10.77.0.0/24 or fd00:77::/64)",
        ),
        (
            "IpamDriver.RequestPool",
            json!({"Pool": "10.9.0.0/24", "Options": {"podlane.network": "blue"}}),
            "network blue has no IPv4 gateway whose subnet is 10.9.0.0/24 (it has 10.1.0.1/24, fd00:1::1/64)",
        ),
        (
            "IpamDriver.RequestAddress",
            json!({"PoolID": "10.9.0.0/24"}),
            "no network of podlane has the pool 10.9.0.0/24 (remove the Docker network and create it again)",
        ),
        (
            "IpamDriver.RequestAddress",
            json!({"PoolID": "10.1.0.0/24 blue", "Address": "10.1.0.9", "Options": {"RequestAddressType": "com.docker.network.gateway"}}),
            "the gateway of network blue is 10.1.0.1/24, not 10.1.0.9 (leave out --gateway)",
        ),
    ] {
        assert_eq!(docker.refused(method, body), expected);
    }
    let ports = json!({"NetworkID": ID, "EndpointID": "e", "Options": {"com.docker.network.portmap": [{"Proto": 6, "Port": 80, "HostPort": 8080}]}});
    assert!(
        docker.refused("NetworkDriver.ProgramExternalConnectivity", ports).starts_with("podlane publishes no ports")
    );
    docker.call("NetworkDriver.ProgramExternalConnectivity", json!({"Options": {"com.docker.network.portmap": null}}));
    assert!(
        docker
            .driver
            .call(docker.paper.as_ref(), "NetworkDriver.Join", b"{")
            .unwrap_err()
            .to_string()
            .starts_with("NetworkDriver.Join came with what cannot be read")
    );
}

fn from(paper: Arc<OnPaper>) -> Source<OnPaper> {
    Box::new(move |call| {
        call(&paper);
        Ok(())
    })
}

#[test]
fn while_another_daemon_takes_over_docker_is_told_to_try_again_and_nothing_is_changed() {
    let socket = std::env::temp_dir().join(format!("podlane-cnm-over-{}.sock", std::process::id()));
    let over: Source<OnPaper> = Box::new(|_| Err(Refusal::HandingOver));
    let plugin = Plugin::start(&socket, over).unwrap();
    let mut stream = UnixStream::connect(&socket).unwrap();
    stream.write_all(b"POST /NetworkDriver.DeleteNetwork HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(
        answer.contains(r#"{"Err":"another daemon is just taking over"#) && answer.contains("try again"),
        "{answer}"
    );
    drop(plugin);
}

#[test]
fn docker_is_answered_over_the_socket_until_the_plugin_ends() {
    let socket = std::env::temp_dir().join(format!("podlane-cnm-{}.sock", std::process::id()));
    let plugin = Plugin::start(&socket, from(Docker::new().paper)).unwrap();
    let ask = |text: &str| {
        let mut stream = UnixStream::connect(&socket).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let activated = ask("POST /Plugin.Activate HTTP/1.1\r\nHost:\r\n\r\n");
    assert!(
        activated.starts_with("HTTP/1.1 200 OK\r\n")
            && activated.ends_with(r#"{"Implements":["NetworkDriver","IpamDriver"]}"#)
    );
    let refused = ask("POST /NetworkDriver.Join HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}");
    assert!(
        refused.starts_with("HTTP/1.1 200 OK\r\n") && refused.contains(r#"{"Err":"NetworkDriver.Join came with"#),
        "{refused}"
    );
    assert!(ask("POST /NetworkDriver.Fly HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404 Not Found\r\n"));
    assert!(ask("GET / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405 Method Not Allowed\r\n"));
    // A second one has the socket when the first has ended.
    let next = Plugin::start(&socket, from(Docker::new().paper)).unwrap();
    drop(plugin);
    let soon = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while UnixStream::connect(&socket).is_err() {
        assert!(std::time::Instant::now() < soon, "the next plugin does not take the socket over");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert!(ask("POST /Plugin.Activate HTTP/1.1\r\nHost:\r\n\r\n").starts_with("HTTP/1.1 200 OK\r\n"));
    drop(next);
    assert!(!socket.exists());
}
