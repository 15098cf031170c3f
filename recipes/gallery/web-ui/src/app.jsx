import { useEffect, useState } from "react";

export function App() {
  const [models, setModels] = useState([]);
  useEffect(() => {
    fetch("/api/models").then((answer) => answer.json()).then(setModels, () => setModels([]));
  }, []);
  return (
    <main>
      <h1>Models</h1>
      <ul>{models.map((model) => <li key={model}>{model}</li>)}</ul>
    </main>
  );
}
