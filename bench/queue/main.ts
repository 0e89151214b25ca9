console.log("queue");
