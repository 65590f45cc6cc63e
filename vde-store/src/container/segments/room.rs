//! Finding a run of free pages: a tree of maxima over the segments.

/// The length of the longest run of free pages of each segment. Finding the first segment with a long enough run
/// takes O(log segments).
#[derive(Debug, Default)]
pub(super) struct Room {
    /// A binary tree: node `i` has the children `2 * i` and `2 * i + 1`, and is their maximum. The second half of the
    /// nodes are the segments.
    nodes: Vec<u32>,
}

impl Room {
    pub(super) fn set(&mut self, segment: u32, pages: u32) {
        let segment = segment as usize;
        if segment >= self.nodes.len() / 2 {
            if pages == 0 {
                return;
            }
            self.grow(segment + 1);
        }
        let mut node = self.nodes.len() / 2 + segment;
        self.nodes[node] = pages;
        while node > 1 {
            node /= 2;
            self.nodes[node] = self.nodes[2 * node].max(self.nodes[2 * node + 1]);
        }
    }

    fn grow(&mut self, segments: usize) {
        let (old, leaves) = (self.nodes.len() / 2, segments.next_power_of_two());
        let mut nodes = vec![0; 2 * leaves];
        nodes[leaves..leaves + old].copy_from_slice(&self.nodes[old..]);
        for node in (1..leaves).rev() {
            nodes[node] = nodes[2 * node].max(nodes[2 * node + 1]);
        }
        self.nodes = nodes;
    }

    /// The first segment with a run of `pages` free pages.
    pub(super) fn first(&self, pages: u32) -> Option<u32> {
        let (leaves, mut node) = (self.nodes.len() / 2, 1);
        if *self.nodes.get(node)? < pages {
            return None;
        }
        while node < leaves {
            node = if self.nodes[2 * node] >= pages { 2 * node } else { 2 * node + 1 };
        }
        Some((node - leaves) as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::Room;

    #[test]
    fn the_first_segment_with_enough_pages_is_found() {
        let mut rng = fastrand::Rng::with_seed(1);
        let (mut room, mut model) = (Room::default(), vec![0; 300]);
        for _ in 0..3000 {
            let (segment, pages) = (rng.u32(..300), rng.u32(..9));
            room.set(segment, pages);
            model[segment as usize] = pages;
            let wanted = rng.u32(1..10);
            let expected = model.iter().position(|pages| *pages >= wanted);
            assert_eq!(room.first(wanted), expected.map(|segment| segment as u32));
        }
    }
}
