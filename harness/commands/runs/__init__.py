"""What is done with stored runs (`lkharness explain`, `report`, `judge`, `compare`, `history`, `gate`), and what stores some: `record`."""
