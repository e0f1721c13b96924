"""What the layouts of Yokogawa's microscopes share: side files, timelines, fields."""
