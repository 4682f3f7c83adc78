//! The pickle machine, cut down to data: no opcode here can call anything, and every name that is not on the list of
//! [`Global::parse`] ends the reading. Memory is bounded by the pickle's own length: each opcode makes at most one node, and what a node
//! copies of others (a tensor its sizes, a storage its key) is short.

use std::collections::HashMap;

use super::value::{Global, MOST_AXES, Node, NodeId, Storage, View};

/// Nodes of one pickle; x-large checkpoints have a few thousand.
const NODE_LIMIT: usize = 1 << 20;
/// Digits of a storage's key.
const KEY_LIMIT: usize = 20;

/// Runs a pickle; gives its nodes and which of them is the whole.
pub(super) fn run(pickle: &[u8]) -> Result<(Vec<Node>, NodeId), String> {
    let mut machine = Machine {
        pickle,
        at: 0,
        nodes: Vec::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
    };
    loop {
        let place = machine.at;
        let opcode = machine.byte()?;
        match machine.step(opcode) {
            Ok(Step::On) => {}
            Ok(Step::End(root)) => return Ok((machine.nodes, root)),
            Err(reason) => return Err(format!("pickle, byte {place}: {reason}")),
        }
    }
}

enum Step {
    On,
    End(NodeId),
}

struct Machine<'a> {
    pickle: &'a [u8],
    at: usize,
    nodes: Vec<Node>,
    stack: Vec<NodeId>,
    /// Heights of the stack.
    marks: Vec<usize>,
    memo: HashMap<u32, NodeId>,
}

impl<'a> Machine<'a> {
    fn step(&mut self, opcode: u8) -> Result<Step, String> {
        match opcode {
            0x80 => match self.byte()? {
                2..=5 => {}
                other => return Err(format!("protocol {other}; 2 to 5 are read")),
            },
            // A frame's length (protocol 4): only a hint for buffering.
            0x95 => drop(self.take(8)?),
            b'.' => {
                let root = self.pop()?;
                return Ok(Step::End(root));
            }
            b'(' => self.marks.push(self.stack.len()),
            b'N' => self.push(Node::None)?,
            0x88 => self.push(Node::Bool(true))?,
            0x89 => self.push(Node::Bool(false))?,
            b'J' => {
                let number = i32::from_le_bytes(self.word()?);
                self.push(Node::Int(number.into()))?;
            }
            b'K' => {
                let number = self.byte()?;
                self.push(Node::Int(number.into()))?;
            }
            b'M' => {
                let number = u16::from_le_bytes(self.word()?);
                self.push(Node::Int(number.into()))?;
            }
            0x8a => self.long()?,
            b'G' => {
                let number = f64::from_be_bytes(self.word()?);
                self.push(Node::Float(number))?;
            }
            b'X' => {
                let length = u32::from_le_bytes(self.word()?);
                self.text(length as usize)?;
            }
            0x8c => {
                let length = self.byte()?;
                self.text(length.into())?;
            }
            b']' => self.push(Node::List(Vec::new()))?,
            b'}' => self.push(Node::Dict(Vec::new()))?,
            b')' => self.push(Node::Tuple(Box::default()))?,
            b'a' => {
                let item = self.pop()?;
                self.append(vec![item])?;
            }
            b'e' => {
                let items = self.since_mark()?;
                self.append(items)?;
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set(&[key, value])?;
            }
            b'u' => {
                let items = self.since_mark()?;
                self.set(&items)?;
            }
            b't' => {
                let items = self.since_mark()?;
                self.push(Node::Tuple(items.into()))?;
            }
            0x85..=0x87 => {
                let height = self
                    .stack
                    .len()
                    .checked_sub(usize::from(opcode - 0x84))
                    .filter(|height| *height >= self.floor())
                    .ok_or("the stack is too short for a tuple")?;
                let items = self.stack.split_off(height);
                self.push(Node::Tuple(items.into()))?;
            }
            b'q' => {
                let slot = self.byte()?;
                self.remember(slot.into())?;
            }
            b'r' => {
                let slot = u32::from_le_bytes(self.word()?);
                self.remember(slot)?;
            }
            0x94 => self.remember(u32::try_from(self.memo.len()).unwrap_or(u32::MAX))?,
            b'h' => {
                let slot = self.byte()?;
                self.recall(slot.into())?;
            }
            b'j' => {
                let slot = u32::from_le_bytes(self.word()?);
                self.recall(slot)?;
            }
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                let global = Global::parse(module, name)?;
                self.push(Node::Global(global))?;
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let global = match (self.node(module), self.node(name)) {
                    (Node::Text(module), Node::Text(name)) => Global::parse(module, name)?,
                    _ => return Err("a global's name is not a word".into()),
                };
                self.push(Node::Global(global))?;
            }
            b'Q' => {
                let id = self.pop()?;
                let storage = self.storage(id)?;
                self.push(Node::Storage(storage))?;
            }
            b'R' => {
                let (arguments, callee) = (self.pop()?, self.pop()?);
                let made = self.reduce(callee, arguments)?;
                self.push(made)?;
            }
            b'b' => self.build()?,
            other => {
                return Err(format!(
                    "opcode {other:#04x} is not one that plain tensors need"
                ));
            }
        }
        Ok(Step::On)
    }

    /// What a call would give, for the three callees that only describe data.
    fn reduce(&self, callee: NodeId, arguments: NodeId) -> Result<Node, String> {
        let Node::Tuple(arguments) = self.node(arguments) else {
            return Err("a call's arguments are not a tuple".into());
        };
        match self.node(callee) {
            Node::Global(Global::OrderedDict) if arguments.is_empty() => Ok(Node::Dict(Vec::new())),
            Node::Global(Global::RebuildTensor) => self.tensor(arguments).map(Node::Tensor),
            // `_rebuild_parameter(tensor, requires_grad, hooks)`: to us the tensor itself.
            Node::Global(Global::RebuildParameter) => match arguments.first() {
                Some(data) => match self.node(*data) {
                    Node::Tensor(view) => Ok(Node::Tensor(view.clone())),
                    _ => Err("a parameter that is not a tensor".into()),
                },
                None => Err("a parameter of nothing".into()),
            },
            _ => Err("only tensors and empty OrderedDicts are rebuilt".into()),
        }
    }

    /// `_rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks, ...)`
    fn tensor(&self, arguments: &[NodeId]) -> Result<View, String> {
        let [storage, offset, size, stride, ..] = arguments else {
            return Err("a tensor needs a storage, an offset, a size and strides".into());
        };
        let Node::Storage(storage) = self.node(*storage) else {
            return Err("a tensor without a storage".into());
        };
        let whole = |id: NodeId| match self.node(id) {
            Node::Int(number) => u64::try_from(*number).map_err(|_| "a negative size".to_owned()),
            _ => Err("a size is not a whole number".into()),
        };
        let all = |id: NodeId| match self.node(id) {
            Node::Tuple(items) if items.len() <= MOST_AXES => {
                items.iter().map(|item| whole(*item)).collect()
            }
            Node::Tuple(items) => Err(format!("a tensor of {} sizes or strides", items.len())),
            _ => Err("sizes are not a tuple".to_owned()),
        };
        Ok(View {
            kind: storage.kind,
            key: storage.key.clone(),
            stored: storage.count,
            offset: whole(*offset)?,
            shape: all(*size)?,
            strides: all(*stride)?,
        })
    }

    /// `('storage', torch.FloatStorage, key, location, count)`; the key becomes part of an entry's name, so it is a number.
    fn storage(&self, id: NodeId) -> Result<Storage, String> {
        if let Node::Tuple(parts) = self.node(id)
            && let [word, global, key, _, count] = &**parts
            && matches!(self.node(*word), Node::Text(word) if &**word == "storage")
            && let Node::Global(Global::StorageOf(kind)) = self.node(*global)
            && let Node::Text(key) = self.node(*key)
            && let Node::Int(count) = self.node(*count)
            && let Ok(count) = u64::try_from(*count)
            && (1..=KEY_LIMIT).contains(&key.len())
            && key.bytes().all(|byte| byte.is_ascii_digit())
        {
            return Ok(Storage {
                kind: *kind,
                key: key.clone(),
                count,
            });
        }
        Err("a persistent id that is not a storage".into())
    }

    /// State of a state dict (`_metadata`): attributes, which we do not need. On anything else it would mean code.
    fn build(&mut self) -> Result<(), String> {
        let state = self.pop()?;
        let Node::Dict(_) = self.node(state) else {
            return Err("attributes that are not a dictionary".into());
        };
        match self.stack.last().map(|top| self.node(*top)) {
            Some(Node::Dict(_)) if self.stack.len() > self.floor() => Ok(()),
            _ => Err("attributes of something that is not a dictionary".into()),
        }
    }

    fn append(&mut self, items: Vec<NodeId>) -> Result<(), String> {
        match self.top()? {
            Node::List(list) => {
                list.extend(items);
                Ok(())
            }
            _ => Err("only lists are appended to".into()),
        }
    }

    fn set(&mut self, items: &[NodeId]) -> Result<(), String> {
        let (pairs, []) = items.as_chunks::<2>() else {
            return Err("a key without a value".into());
        };
        match self.top()? {
            Node::Dict(dict) => {
                dict.extend(pairs.iter().map(|[key, value]| (*key, *value)));
                Ok(())
            }
            _ => Err("only dictionaries have items set".into()),
        }
    }

    fn text(&mut self, length: usize) -> Result<(), String> {
        let text = std::str::from_utf8(self.take(length)?)
            .map_err(|_| "a text that is not UTF-8")?
            .into();
        self.push(Node::Text(text))
    }

    /// A whole number of any length, of which eight bytes are enough for sizes.
    fn long(&mut self) -> Result<(), String> {
        let length = usize::from(self.byte()?);
        let bytes = self.take(length)?;
        if length > 8 {
            return Err(format!("a whole number of {length} bytes"));
        }
        let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
        let mut word = [if negative { 0xff } else { 0 }; 8];
        word[..length].copy_from_slice(bytes);
        self.push(Node::Int(i64::from_le_bytes(word)))
    }

    fn remember(&mut self, slot: u32) -> Result<(), String> {
        let top = *self.stack.last().ok_or("nothing to remember")?;
        self.memo.insert(slot, top);
        Ok(())
    }

    fn recall(&mut self, slot: u32) -> Result<(), String> {
        let node = *self
            .memo
            .get(&slot)
            .ok_or_else(|| format!("nothing was remembered as {slot}"))?;
        self.stack.push(node);
        self.bounded()
    }

    fn push(&mut self, node: Node) -> Result<(), String> {
        let id = NodeId::try_from(self.nodes.len()).map_err(|_| "too many values")?;
        self.nodes.push(node);
        self.stack.push(id);
        self.bounded()
    }

    fn bounded(&self) -> Result<(), String> {
        if self.nodes.len() > NODE_LIMIT || self.stack.len() > NODE_LIMIT {
            return Err(format!("more than {NODE_LIMIT} values"));
        }
        Ok(())
    }

    /// The stack below belongs to an open mark.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn pop(&mut self) -> Result<NodeId, String> {
        if self.stack.len() <= self.floor() {
            return Err("the stack is empty".into());
        }
        self.stack.pop().ok_or_else(|| "the stack is empty".into())
    }

    fn since_mark(&mut self) -> Result<Vec<NodeId>, String> {
        let height = self.marks.pop().ok_or("no mark")?;
        Ok(self.stack.split_off(height))
    }

    fn top(&mut self) -> Result<&mut Node, String> {
        if self.stack.len() <= self.floor() {
            return Err("the stack is empty".into());
        }
        let top = *self.stack.last().ok_or("the stack is empty")?;
        Ok(&mut self.nodes[top as usize])
    }

    fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id as usize]
    }

    fn byte(&mut self) -> Result<u8, String> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn word<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let mut word = [0; N];
        word.copy_from_slice(self.take(N)?);
        Ok(word)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let bytes = self
            .at
            .checked_add(count)
            .and_then(|end| self.pickle.get(self.at..end))
            .ok_or("the pickle ends in the middle of a value")?;
        self.at += count;
        Ok(bytes)
    }

    fn line(&mut self) -> Result<&'a str, String> {
        let rest = &self.pickle[self.at..];
        let length = rest
            .iter()
            .take(256)
            .position(|byte| *byte == b'\n')
            .ok_or("a name without an end")?;
        let line = self.take(length)?;
        self.at += 1;
        std::str::from_utf8(line).map_err(|_| "a name that is not UTF-8".into())
    }
}
