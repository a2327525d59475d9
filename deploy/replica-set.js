// Makes the replica set of compose.yaml, once, and waits until it has a primary.
try {
  rs.status();
} catch (error) {
  rs.initiate({
    _id: "shop",
    members: [{_id: 0, host: "mongo-1:27017"}, {_id: 1, host: "mongo-2:27017"}, {_id: 2, host: "mongo-3:27017"}],
  });
}
while (!rs.status().members.some((member) => member.stateStr === "PRIMARY")) {
  sleep(200);
}
