"""PyG's LightGCN with the training loop of its examples/lightgcn.py, on given pairs.

The loop is the example's: shuffled batches of pairs, an item drawn uniformly for each, `recommendation_loss` on the
nodes of the batch, Adam. Its adjacency is given in compressed rows and normalised once, which the example, handing an
edge list to every layer, does not do: several times its speed on CPUs.
"""

from __future__ import annotations

import numpy as np
import torch
from snapshots import BudgetSpent, Snapshots, arguments
from torch_geometric.nn import LightGCN
from torch_geometric.nn.conv.gcn_conv import gcn_norm


def main() -> None:
    given = arguments()
    torch.manual_seed(given.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    pairs = torch.from_numpy(np.load(given.pairs)).to(device)
    nodes = given.users + given.items
    label = torch.stack([pairs[:, 0], pairs[:, 1] + given.users])
    edges = torch.cat([label, label.flip(0)], dim=1)
    edges, weights = gcn_norm(edges, None, nodes, add_self_loops=False)
    # Symmetric, so that the transpose that message passing wants is the matrix itself.
    adjacency = torch.sparse_coo_tensor(edges, weights, (nodes, nodes)).coalesce().to_sparse_csr()
    model = LightGCN(nodes, given.dim, given.layers, normalize=False).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=given.learning_rate)
    loader = torch.utils.data.DataLoader(range(label.size(1)), shuffle=True, batch_size=given.batch)

    @torch.no_grad()
    def vectors() -> tuple[torch.Tensor, torch.Tensor]:
        final = model.get_embedding(adjacency)
        return final[: given.users], final[given.users :]

    snapshots = Snapshots(given.out, given.seconds, given.snapshots, vectors)
    snapshots.start()
    try:
        while True:
            for index in loader:
                positive = label[:, index.to(device)]
                wrong = torch.randint(given.users, nodes, (index.numel(),), device=device)
                both = torch.cat([positive, torch.stack([positive[0], wrong])], dim=1)
                optimizer.zero_grad()
                right, other = model(adjacency, both).chunk(2)
                loss = model.recommendation_loss(right, other, node_id=both.unique())
                loss.backward()
                optimizer.step()
                snapshots.after_step()
    except BudgetSpent:
        pass


if __name__ == "__main__":
    main()
