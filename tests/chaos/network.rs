//! Every fault of a network by itself, between a holder and its server: a real one, in namespaces of this host.

use std::time::{Duration, Instant};

use dlock_tests::{Backend, Client, Cut, Network, Server, Site, clock};
use tokio::time::sleep;

use crate::faults::{BEFORE, MEANWHILE, TTL, rounds};
use crate::figures::{Figures, Outcome};
use crate::holder::Holder;

const CUTS: [Cut; 4] = [Cut::Both, Cut::FromClient, Cut::ToClient, Cut::Reset];
const TROUBLE: [Cut; 4] = [Cut::Acks, Cut::Forgotten, Cut::Lossy, Cut::Slow];

fn name(cut: Cut) -> &'static str {
    match cut {
        Cut::Both => "network: cut both ways",
        Cut::FromClient => "network: nothing leaves the holder",
        Cut::ToClient => "network: nothing reaches the holder",
        Cut::Acks => "network: acknowledgements are lost",
        Cut::Reset => "network: connections are reset",
        Cut::Forgotten => "network: a middlebox forgets",
        Cut::Lossy => "network: 10 % are lost",
        Cut::Slow => "network: 64 kbit/s",
    }
}

/// Whether the holder may well keep its lock. A lease outlasts its connection, if a new one can be made.
fn is_mild(cut: Cut, backend: Backend) -> bool {
    match cut {
        Cut::Acks | Cut::Lossy | Cut::Slow => true,
        Cut::Forgotten => backend.is_lease(),
        Cut::Both | Cut::FromClient | Cut::ToClient | Cut::Reset => false,
    }
}

/// The server frees the lock of a holder that it does not hear any more, and never before that holder knows.
pub(crate) async fn cuts_are_told_before_the_next_one_comes(site: Site) {
    between_a_holder_and_its_server(site, CUTS).await;
}

/// What a holder may well get over.
pub(crate) async fn trouble_is_told_before_the_next_one_comes(site: Site) {
    between_a_holder_and_its_server(site, TROUBLE).await;
}

async fn between_a_holder_and_its_server(site: Site, cuts: [Cut; 4]) {
    let backend = site.backend.unwrap();
    let Some(mut network) = Network::new() else { return };
    let Some(server) = Server::start_at(backend.of_its_server(), &network.address()) else {
        return;
    };
    let site = Site::at(&backend.url_on(server.url())).ttl(TTL);
    let mut figures = cuts.map(|cut| (cut, Figures::new(name(cut))));
    let clients: Vec<_> = cuts.into_iter().map(|cut| (cut, network.client())).collect();
    for _ in 0..rounds() {
        for ((cut, figures), outcome) in
            figures.iter_mut().zip(one_round(&site, backend, &clients).await)
        {
            assert!(outcome.overlap.is_zero(), "{cut:?}: two for {:?}", outcome.overlap);
            figures.add(outcome);
        }
    }
    figures.iter().for_each(|(_, figures)| figures.report(backend));
}

async fn one_round(site: &Site, backend: Backend, clients: &[(Cut, Client)]) -> Vec<Outcome> {
    let others = site.named("others").locker().await;
    let mut trials = Vec::new();
    for (cut, client) in clients {
        let (name, key) = (format!("{cut:?}").to_lowercase(), format!("{cut:?}"));
        let holder = Holder::new(&site.named(&name), client.launch(), &others, &key).await;
        trials.push((*cut, client, holder, 0));
    }
    sleep(BEFORE).await;
    for (cut, client, _, began) in &mut trials {
        tokio::task::block_in_place(|| client.cut(*cut));
        // On a busy machine it takes a while until the rule is there.
        *began = clock::now();
    }
    let begun = Instant::now();
    let is_open = |(cut, _, holder, _): &&(Cut, &Client, Holder, u64)| {
        !is_mild(*cut, backend) && !holder.is_followed()
    };
    while begun.elapsed() < MEANWHILE {
        if begun.elapsed() > 3 * TTL / 2 && !trials.iter().any(|trial| is_open(&trial)) {
            break;
        }
        sleep(Duration::from_millis(5)).await;
    }
    if let Some((cut, ..)) = trials.iter().find(is_open) {
        panic!("{cut:?}: not free within {MEANWHILE:?}");
    }
    let mut outcomes = Vec::new();
    for (cut, client, holder, began) in trials {
        tokio::task::block_in_place(|| client.mend());
        outcomes.push(match is_mild(cut, backend) {
            true => holder.outcome_if_kept(began, TTL / 20).await,
            false => holder.outcome(began, Some(began)).await,
        });
    }
    others.close().await;
    outcomes
}
