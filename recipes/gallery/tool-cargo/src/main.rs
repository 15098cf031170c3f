//! tally counts the words of its input, and prints the most frequent ones as JSON.
use lexopt::prelude::*;
use std::{collections::HashMap, io::Read};

const MOST: usize = 3;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut most = MOST;
    let mut parser = lexopt::Parser::from_env();
    while let Some(arg) = parser.next()? {
        match arg {
            Short('n') => most = parser.value()?.parse()?,
            _ => return Err(arg.unexpected().into()),
        }
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for word in text.split_whitespace() {
        *counts.entry(word).or_default() += 1;
    }
    let mut words: Vec<_> = counts.into_iter().collect();
    words.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    words.truncate(most);
    println!("{}", serde_json::to_string(&words)?);
    Ok(())
}
