"""The trained models that come with the package: `shipped` names them, their folders lie beside."""
